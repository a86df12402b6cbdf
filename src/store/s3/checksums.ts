// The full-object checksums that an S3 server keeps, as it names them in a HEAD. Pure.
import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import type { ObjectChecksum } from '../store.ts';

/** Bytes of each, so that a damaged one is not compared. */
const LENGTHS = { crc32: 4, crc32c: 4, crc64nvme: 8, md5: 16, sha1: 20, sha256: 32 } as const;

type Answer = Pick<
  HeadObjectCommandOutput,
  'ChecksumCRC32' | 'ChecksumCRC32C' | 'ChecksumCRC64NVME' | 'ChecksumSHA1' | 'ChecksumSHA256' | 'ChecksumType'
>;

/** Those of the whole object, as hex. Composite ones ("-N": a checksum of the parts' checksums) say nothing of its bytes alone. */
export function fullChecksums(answer: Answer): ObjectChecksum[] {
  if (answer.ChecksumType === 'COMPOSITE') return [];
  const values: [ObjectChecksum['algorithm'], string | undefined][] = [
    ['crc32', answer.ChecksumCRC32],
    ['crc32c', answer.ChecksumCRC32C],
    ['crc64nvme', answer.ChecksumCRC64NVME],
    ['sha1', answer.ChecksumSHA1],
    ['sha256', answer.ChecksumSHA256],
  ];
  return values.flatMap(([algorithm, value]) => {
    if (value === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(value)) return [];
    const bytes = Buffer.from(value, 'base64');
    return bytes.length === LENGTHS[algorithm] ? [{ algorithm, hex: bytes.toString('hex') }] : [];
  });
}
