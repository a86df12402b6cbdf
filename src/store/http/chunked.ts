// A chunked body, taken apart as its bytes come. Pure. RFC 9112, 7.1.
import { TransientError } from '../retry/policy.ts';

/** A size line, an extension or a trailer may be so long. */
const MAX_LINE = 4096;

type State = 'size' | 'data' | 'data-end' | 'trailer' | 'done';

export class ChunkedDecoder {
  #state: State = 'size';
  #line = '';
  #left = 0;

  /** The last chunk and the trailer have come. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /**
   * Takes the next bytes; gives the data in them (parts of `bytes`, not copies) and how many were the body's: all of
   * them, unless the body ended. Throws a `TransientError` for what is no chunked body.
   */
  take(bytes: Uint8Array): { readonly data: Uint8Array[]; readonly used: number } {
    const data: Uint8Array[] = [];
    let used = 0;
    while (used < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        const piece = bytes.subarray(used, used + this.#left);
        data.push(piece);
        used += piece.length;
        this.#left -= piece.length;
        if (this.#left === 0) this.#state = 'data-end';
      } else {
        used = this.#takeLine(bytes, used);
      }
    }
    return { data, used };
  }

  #takeLine(bytes: Uint8Array, from: number): number {
    const end = bytes.indexOf(0x0a, from);
    const until = end === -1 ? bytes.length : end + 1;
    this.#line += Buffer.from(bytes.subarray(from, until)).toString('latin1');
    if (this.#line.length > MAX_LINE) throw malformed();
    if (end !== -1) {
      if (!this.#line.endsWith('\r\n')) throw malformed();
      this.#onLine(this.#line.slice(0, -2));
      this.#line = '';
    }
    return until;
  }

  #onLine(line: string): void {
    if (this.#state === 'size') {
      const match = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line);
      if (match === null) throw malformed();
      this.#left = Number.parseInt(match[1] ?? '', 16);
      this.#state = this.#left === 0 ? 'trailer' : 'data';
    } else if (this.#state === 'data-end') {
      if (line !== '') throw malformed();
      this.#state = 'size';
    } else if (line === '') {
      this.#state = 'done';
    }
  }
}

function malformed(): TransientError {
  return new TransientError('the server sent a malformed chunked body', { fewRetries: true });
}
