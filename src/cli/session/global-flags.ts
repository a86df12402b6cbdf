// The flags that every command takes.
import { Option } from 'commander';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Flags that every command takes, before or after its name. */
export interface GlobalFlags {
  readonly output: 'text' | 'json';
  readonly logLevel: LogLevel;
  readonly logFormat: 'auto' | 'text' | 'json';
  readonly progress: boolean;
}

export function globalOptions(): Option[] {
  return [
    new Option('--output <format>', 'output format').choices(['text', 'json']).default('text', 'text'),
    new Option('--log-level <level>', 'log level').choices(LOG_LEVELS).default('info', 'info'),
    new Option('--log-format <format>', 'log format; auto: json inside a pod, else text')
      .choices(['auto', 'text', 'json'])
      .default('auto', 'auto'),
    new Option('--no-progress', 'disable progress output'),
  ];
}
