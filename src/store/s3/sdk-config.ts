// What every client of the SDK is given, so that it looks for nothing itself: each of these it would else read from variables, from
// ~/.aws and, for the former, from a home directory that a user of a pod may not have. test/store/s3/environment.test.ts
// sets whatever the installed SDK knows.
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { Settings } from '../aws/settings.ts';

/** The SDK would warn on the console, which is the progress view's. */
export const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

type FencedConfig = Required<
  Pick<
    S3ClientConfig,
    | 'authSchemePreference'
    | 'defaultsMode'
    | 'defaultUserAgentProvider'
    | 'disableClockSkewCorrection'
    | 'ignoreConfiguredEndpointUrls'
    | 'logger'
    | 'retryMode'
    | 'sigv4aSigningRegionSet'
    | 'useDualstackEndpoint'
    | 'useFipsEndpoint'
    | 'userAgentAppId'
  >
>;

/** For a client of any service. Region, endpoint, credentials, attempts and transport are the caller's. */
export function fencedConfig({ fips, dualstack }: Pick<Settings, 'fips' | 'dualstack'>): FencedConfig {
  return {
    useFipsEndpoint: fips,
    useDualstackEndpoint: dualstack,
    ignoreConfiguredEndpointUrls: true,
    authSchemePreference: [],
    sigv4aSigningRegionSet: [],
    disableClockSkewCorrection: false,
    // In the others the time limits are different, which are the transport's here.
    defaultsMode: 'legacy',
    retryMode: 'standard',
    userAgentAppId: '',
    // Its own names the environment that it runs in (AWS_EXECUTION_ENV).
    defaultUserAgentProvider: async () => [['kubevirt-datamover']],
    logger: SILENT,
  };
}

/** What only S3 has. */
export const FENCED_S3 = {
  // Ranged answers may carry the whole object's checksum, and the SDK would compare it with the part.
  responseChecksumValidation: 'WHEN_REQUIRED',
  requestChecksumCalculation: 'WHEN_REQUIRED',
  disableMultiregionAccessPoints: true,
  disableS3ExpressSessionAuth: false,
  useArnRegion: false,
} as const satisfies S3ClientConfig;
