// Certificates as people have them: PEM, several in one file, with any line ends and text between them, or one in DER.
import { X509Certificate } from 'node:crypto';
import { DatamoverError, type ErrorCode } from '../../errors.ts';

/**
 * The certificates as PEM, one each. `code` (with `where` and the line) for a block that is damaged and for bytes that hold no
 * certificate.
 */
export function readCertificates(bytes: Buffer, where: string, code: ErrorCode = 'PLAN_INVALID'): string[] {
  const text = bytes.toString('latin1');
  const blocks = [...text.matchAll(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END [^-]*-----/g)];
  if (blocks.length === 0) return [inDer(bytes) ?? noCertificate(text, where, code)];
  return blocks.map(({ 0: block, index }) => {
    try {
      return new X509Certificate(block).toString();
    } catch (cause) {
      const line = text.slice(0, index).split(/\r\n|\n|\r/).length;
      throw new DatamoverError(code, `${where}:${line}: damaged certificate`, { hint: HINT, cause });
    }
  });
}

const HINT = 'use a file with one or more blocks of -----BEGIN CERTIFICATE-----, or one certificate in DER';

function inDer(bytes: Buffer): string | undefined {
  try {
    return new X509Certificate(bytes).toString();
  } catch {
    return undefined;
  }
}

function noCertificate(text: string, where: string, code: ErrorCode): never {
  const other = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(text)?.[1];
  const what = other === undefined ? 'no certificate found' : `no certificate found, but a ${other}`;
  throw new DatamoverError(code, `${where}: ${what}`, { hint: HINT });
}
