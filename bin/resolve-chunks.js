// The files of dist/ import each other by relative names that are right as they stand. Node looks for each one's real path and
// package.json, which for the 60 files of a restore takes a tenth of its start.
'use strict';
require('node:module').registerHooks({
  resolve(specifier, context, next) {
    const isChunk = specifier.startsWith('./') && specifier.endsWith('.js') && context.parentURL !== undefined;
    if (!isChunk || !/\/dist\/(chunks\/)?[^/]*$/.test(context.parentURL)) return next(specifier, context);
    return { url: new URL(specifier, context.parentURL).href, format: 'module', shortCircuit: true };
  },
});
