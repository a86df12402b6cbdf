// The restore strategies (design section 5): the words that flags, scratch space and results share.
export const STRATEGIES = ['staged', 'staged-raw', 'stream'] as const;
export type Strategy = (typeof STRATEGIES)[number];
