// What a restore will fetch of a chain, known before it starts.

export interface FetchEstimate {
  readonly bytes: number;
  /** Range requests, when none has to be repeated. */
  readonly requests: number;
}

export function addEstimates(estimates: readonly FetchEstimate[]): FetchEstimate {
  return {
    bytes: estimates.reduce((sum, { bytes }) => sum + bytes, 0),
    requests: estimates.reduce((sum, { requests }) => sum + requests, 0),
  };
}
