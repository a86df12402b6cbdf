// Loaded into each test file's process (`--import`) before tap: `createHook` of node:async_hooks gives a hook that does nothing.
// tap follows every promise by such hooks, to find the subtest that an exception belongs to which no test awaits; that costs 6 to
// 25 % of a process's CPU. Without them such an exception ends the process with status 1, and its file has failed all the same.
import asyncHooks from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';

const inert: asyncHooks.AsyncHook = { enable: () => inert, disable: () => inert };
asyncHooks.createHook = () => inert;
syncBuiltinESMExports();
