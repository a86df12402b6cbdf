// An Azure Blob container as a source: what a plan says of it, and what its store is opened with.

export const AZURE_CLOUDS = ['AzurePublicCloud', 'AzureUSGovernmentCloud', 'AzureChinaCloud'] as const;

export type AzureCloud = (typeof AZURE_CLOUDS)[number];

/** What follows `ACCOUNT.blob.` in the host names of a cloud. */
export const AZURE_DOMAINS: Readonly<Record<AzureCloud, string>> = {
  AzurePublicCloud: 'core.windows.net',
  AzureUSGovernmentCloud: 'core.usgovcloudapi.net',
  AzureChinaCloud: 'core.chinacloudapi.cn',
};

/** The plan's `source.azure`; file names are absolute. */
export interface AzureOptions {
  /** The storage account's name. */
  readonly account: string;
  readonly container: string;
  readonly prefix?: string;
  /** The account's blob endpoint, an http or https URL. Default: `https://ACCOUNT.blob.` and the cloud's domain. */
  readonly endpoint?: string;
  /** Velero's file: lines of NAME=value. */
  readonly credentialsFile?: string;
  /** Holds a shared access signature. */
  readonly sasTokenFile?: string;
  /** Default: that of the credentials file, else AzurePublicCloud. */
  readonly cloud?: AzureCloud;
  readonly caFile?: string;
  readonly insecureSkipTLSVerify?: boolean;
  /** What follows comes from the environment of `download` only. PEM text. */
  readonly caPem?: string;
  /** The name under which the credentials file has the account's key. */
  readonly keyVariable?: string;
  /** Use the identity's own right to read blobs, and never the account's key. */
  readonly useAAD?: boolean;
  readonly subscription?: string;
  readonly resourceGroup?: string;
  /** Where tokens are requested, an https URL. */
  readonly authorityHost?: string;
}
