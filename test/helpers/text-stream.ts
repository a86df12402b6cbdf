// A stream that keeps what was written to it; as a terminal it has a width and remembers the cursor's movements.
import { Writable } from 'node:stream';
import type { TextStream } from '../../src/cli/session/context.ts';

export class RecordedStream extends Writable implements TextStream {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows = 24;
  exitSequence = '';
  text = '';

  constructor({ isTTY = false, columns = 80 }: { readonly isTTY?: boolean; readonly columns?: number } = {}) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
    this.columns = columns;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }

  /** Whole lines written so far. */
  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }

  // What a terminal's stream has besides (node:tty); a new line stands for "the live line is drawn anew".
  cursorTo(): void {}
  moveCursor(): void {}
  clearLine(): void {
    this.text += '\n';
  }
}
