// qemu-io at its prompt: one child that runs many commands.
import { type RunningTool, startTool } from './run.ts';

const PROMPT = 'qemu-io> ';

/** Commands run one at a time. `end` must follow. */
export class QemuIo {
  readonly #child: RunningTool;
  readonly #stop = new AbortController();
  #text = '';
  #onText: () => void = () => {};
  #ended: { readonly stderr: string } | { readonly error: unknown } | undefined;
  readonly #end: Promise<void>;
  #started: Promise<string | undefined> | undefined;

  constructor(args: readonly string[], signal: AbortSignal) {
    this.#child = startTool('qemu-io', args, { signal: AbortSignal.any([signal, this.#stop.signal]), stdin: 'pipe' });
    // A child that ended takes no more commands: how it ended says more.
    this.#child.stdin?.on('error', () => {});
    this.#child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      this.#text += piece;
      this.#onText();
    });
    this.#end = this.#child.ended.then(
      ({ stderr }) => this.#noteEnd({ stderr }),
      (error: unknown) => this.#noteEnd({ error }),
    );
  }

  /** Waits until it takes commands. Returns what it printed instead; rejects as `startTool`. */
  ready(): Promise<string | undefined> {
    this.#started ??= this.#answer();
    return this.#started;
  }

  /** Runs one command. Returns what it printed, which a command with `-q` does only when it failed. */
  async run(command: string): Promise<string | undefined> {
    this.#text = '';
    this.#child.stdin?.write(`${command}\n`);
    return await this.#answer();
  }

  /** Ends it, at once or after the request that the kernel works on. */
  async end(): Promise<void> {
    this.#stop.abort();
    await this.#end;
  }

  #noteEnd(ended: { readonly stderr: string } | { readonly error: unknown }): void {
    this.#ended = ended;
    this.#onText();
  }

  async #answer(): Promise<string | undefined> {
    while (!this.#text.endsWith(PROMPT)) {
      if (this.#ended !== undefined) {
        if ('error' in this.#ended) throw this.#ended.error;
        return this.#ended.stderr || this.#text;
      }
      await new Promise<void>((resolve) => {
        this.#onText = resolve;
      });
    }
    const said = this.#text.slice(0, -PROMPT.length).trim();
    return said === '' ? undefined : said;
  }
}
