// `qemu-img check` of many images: one small process starts the children. A fork of this process costs milliseconds, and more the more
// memory it has written to; xargs forks for next to nothing, hands its limits on, and takes arguments as they come.
//
//   setpriv prlimit xargs ──▶ setpriv qemu-img check   (up to `limit` at a time)
//        ▲ file names              │ documents
//        └────── this process ◀────┘
//
// Only a document that names its image and finds it sound is believed. Who failed cannot be told apart there: an image without such a
// document is checked again by `checkImage`, which explains what is wrong with it. So xargs may be missing, or end early.
import { AwakeTimer } from '../awake.ts';
import { abortable } from '../concurrency.ts';
import { parseJson } from '../parse-json.ts';
import {
  CHECK,
  CHECK_TIMEOUT_MS,
  type CheckImageOptions,
  type CheckImageResult,
  checkedFile,
  checkImage,
  parseSound,
} from './check-image.ts';
import { type RunningTool, startMany } from './run.ts';

export type CheckImage = (options: CheckImageOptions) => Promise<CheckImageResult>;

export interface CheckManyOptions {
  /** Images that will be checked: for few it does not pay. */
  readonly count: number;
  /** Checks at a time. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** From so many on one process for all costs less than it saves. */
const MANY = 8;

/** Gives `work` what checks an image, as `checkImage` does. No child of it is left when this settles. */
export async function withChecks<T>(options: CheckManyOptions, work: (check: CheckImage) => Promise<T>): Promise<T> {
  if (options.count < MANY) return await work(checkImage);
  const many = new Checks(options);
  try {
    return await work((one) => many.check(one));
  } finally {
    await many.end();
  }
}

class Checks {
  readonly #options: CheckManyOptions;
  readonly #stop = new AbortController();
  /** By file name, in the order of asking. Each is told its document, or undefined when it is to be checked by itself. */
  readonly #waiting = new Map<string, (found: CheckImageResult | undefined) => void>();
  #child: RunningTool | undefined;
  #ended: Promise<void> = Promise.resolve();
  #isUsable = true;

  constructor(options: CheckManyOptions) {
    this.#options = options;
  }

  async check(options: CheckImageOptions): Promise<CheckImageResult> {
    const file = checkedFile(options.image);
    if (options.repair !== undefined || this.#waiting.has(file)) return await checkImage(options);
    options.signal.throwIfAborted();
    // What hangs under xargs is given up with it; alone, it is told from the others.
    const limit = new AwakeTimer(options.timeoutMs ?? CHECK_TIMEOUT_MS, () => this.#stop.abort());
    const found = await abortable(this.#ask(file), options.signal).finally(() => limit.clear());
    return found ?? (await checkImage(options));
  }

  async end(): Promise<void> {
    // It waits for names. What it still runs was given up.
    this.#stop.abort();
    await this.#ended;
  }

  #ask(file: string): Promise<CheckImageResult | undefined> {
    this.#child ??= this.#start();
    if (!this.#isUsable) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#waiting.set(file, (found) => {
        this.#waiting.delete(file);
        resolve(found);
      });
      this.#child?.stdin?.write(`${file}\0`);
    });
  }

  #start(): RunningTool {
    const signal = AbortSignal.any([this.#options.signal, this.#stop.signal]);
    const options = { each: 1, limit: this.#options.limit, onStderr: () => this.#askAgain(), signal };
    const child = startMany('qemu-img', CHECK, options);
    // One that ended takes no more names: those that wait are told below.
    child.stdin?.on('error', () => {});
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      const documents = (text + piece).split(/(?<=^\}\n)/m);
      text = documents.at(-1)?.endsWith('}\n') === true ? '' : (documents.pop() ?? '');
      for (const document of documents) this.#take(document);
    });
    this.#ended = child.ended.then(
      () => this.#giveUp(),
      () => this.#giveUp(),
    );
    return child;
  }

  #take(document: string): void {
    const sound = parseSound(parseJson(document));
    if (sound !== undefined) this.#waiting.get(sound.file)?.(sound.result);
  }

  /** A child said something, of a leak or of what it failed for: those under way are asked by themselves. */
  #askAgain(): void {
    for (const tell of [...this.#waiting.values()].slice(0, this.#options.limit)) tell(undefined);
  }

  #giveUp(): void {
    this.#isUsable = false;
    for (const tell of [...this.#waiting.values()]) tell(undefined);
  }
}
