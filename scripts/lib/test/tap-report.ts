// TAP as node-tap prints it off a terminal, turned into a line a file, the failures in full, and totals.
//
// node-tap's own closing line, `# { total: 7, pass: 4, fail: 1, todo: 1, skip: 1 }` (keys that are 0 are left out), is
// what is counted: assertions, with one failure for a file that crashed. A run without that line counts as a failure.
import { formatDuration } from '../../../src/units.ts';

export interface TapReportOptions {
  /** Whether skipped and todo tests count as failed. */
  readonly skipsFail: boolean;
  readonly print: (line: string) => void;
}

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  /** Milliseconds of CPU of all files. */
  readonly cpuMs: number;
}

export class TapReport {
  readonly #options: TapReportOptions;
  /** Lines of the file under way that belong to no passed assertion, failed ones with their diagnosis. */
  #shown: string[] = [];
  /** Names of the open subtests, by depth. */
  #path: string[] = [];
  #diagnosis: { readonly indent: number; readonly show: boolean } | undefined;
  #lastFailed = false;
  #emptyFiles = 0;
  /** Milliseconds of CPU that the file under way took, and all so far. */
  #cpu: number | undefined;
  #cpuOfAll = 0;
  #totals: ReadonlyMap<string, number> | undefined;

  constructor(options: TapReportOptions) {
    this.#options = options;
  }

  /** Takes one line of TAP, without its line end. */
  line(line: string): void {
    const indent = line.length - line.trimStart().length;
    const text = line.trimStart();
    if (this.#takeDiagnosis(line, indent, text)) return;
    const subtest = /^# Subtest: (.*)$/.exec(text);
    if (subtest !== null) {
      this.#path.length = Math.floor(indent / 4);
      this.#path.push(subtest[1] ?? '');
      return;
    }
    const result = /^(not ok|ok) \d+(?: - (.*?))?(?: # time=(\S+))?(?: # (SKIP|TODO)\b ?(.*))?$/i.exec(text);
    if (result !== null) this.#takeResult(result, indent);
    else if (indent === 0) this.#takeTopLevel(text);
    else if (/^# cpu=\d+ms$/.test(text)) this.#cpu = Number.parseInt(text.slice('# cpu='.length), 10);
    else if (text !== '' && !/^(1\.\.\d+|# time=|# No coverage)/.test(text)) this.#shown.push(`  | ${text}`);
  }

  /** Totals of the run; `status` is the exit status of tap, and one that no failure explains counts as a failure. */
  end(status: number): Totals {
    const count = (key: string): number => this.#totals?.get(key) ?? 0;
    const passed = count('pass');
    let failed = count('fail');
    if (this.#options.skipsFail) failed += count('skip') + count('todo');
    else failed += this.#emptyFiles;
    const skipped = count('skip') + count('todo');
    if (skipped > 0)
      this.#options.print(`${skipped} skipped or to do${this.#options.skipsFail ? ': failed in CI' : ''}`);
    if (this.#totals === undefined || (status !== 0 && failed === 0)) {
      this.#options.print(`FAILED tap ended with ${status}${this.#totals === undefined ? ' and no totals' : ''}`);
      failed += 1;
    }
    return { passed, failed, cpuMs: this.#cpuOfAll };
  }

  /** A YAML block belongs to the result before it; those of passed assertions are dropped. */
  #takeDiagnosis(line: string, indent: number, text: string): boolean {
    if (this.#diagnosis === undefined) {
      if (text !== '---') return false;
      this.#diagnosis = { indent, show: this.#lastFailed };
      return true;
    }
    if (text === '...' && indent === this.#diagnosis.indent) this.#diagnosis = undefined;
    else if (!this.#diagnosis.show || text.includes('(node_modules/')) return true;
    else if (this.#diagnosis.indent > 2) this.#shown.push(`    ${line.slice(this.#diagnosis.indent)}`);
    // A file's own diagnosis comes after its verdict, and of it only how the process ended is news.
    else if (/^(exitCode: [^0]|signal: [^n]|timeout|expired|error)/.test(text)) this.#options.print(`  ${text}`);
    return true;
  }

  #takeResult(result: RegExpExecArray, indent: number): void {
    const [, verdict, name = '', time = '', directive, reason = ''] = result;
    const depth = Math.floor(indent / 4);
    const failed = verdict === 'not ok' && directive === undefined;
    // A subtest's own verdict repeats those inside it; only a file's is said.
    const isSubtest = this.#path.length > depth && this.#path[depth] === name;
    this.#lastFailed = failed && !isSubtest;
    this.#path.length = Math.min(this.#path.length, depth);
    if (depth === 0) {
      this.#printFile({ failed, name, time, directive, reason });
      return;
    }
    const where = [...this.#path.slice(1), name].join(' > ');
    if (directive !== undefined) this.#options.print(`  ${directive.toLowerCase()}: ${where}: ${reason}`);
    else if (this.#lastFailed) this.#shown.push(`  not ok: ${where}`);
  }

  #printFile(file: {
    readonly failed: boolean;
    readonly name: string;
    readonly time: string;
    readonly directive: string | undefined;
    readonly reason: string;
  }): void {
    const empty = file.directive !== undefined && file.reason === 'no tests found';
    if (empty) this.#emptyFiles += 1;
    const failed = file.failed || empty;
    this.#options.print(
      `${failed ? 'FAILED' : 'ok    '} ${file.name} ${durationOf(file.time)}${this.#takeCpu()}${empty ? ' ran nothing' : ''}`,
    );
    if (failed) for (const line of this.#shown) this.#options.print(line);
    this.#shown = [];
    this.#lastFailed = file.failed;
  }

  /** `, CPU 8.1 s`; '' for a file that did not say. */
  #takeCpu(): string {
    if (this.#cpu === undefined) return '';
    const text = `, CPU ${secondsOf(this.#cpu)}`;
    this.#cpuOfAll += this.#cpu;
    this.#cpu = undefined;
    return text;
  }

  #takeTopLevel(text: string): void {
    const totals = /^# \{ (.*) \}$/.exec(text);
    if (totals === null) return;
    const pairs = [...(totals[1] ?? '').matchAll(/(\w+): (\d+)/g)];
    this.#totals = new Map(pairs.map(([, key = '', value]) => [key, Number(value)]));
  }
}

/** TAP's `103.979ms` for people; '' for a file without a time. */
function durationOf(time: string): string {
  return time === '' ? '' : secondsOf(Number.parseFloat(time));
}

export function secondsOf(milliseconds: number): string {
  return formatDuration(milliseconds / 1_000);
}
