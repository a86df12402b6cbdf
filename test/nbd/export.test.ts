// The exports that the tests serve fulfil the contract themselves.
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportContract } from '../contract/export.ts';
import { fileExport, memoryExport, patternBytes } from '../helpers/memory-export.ts';

const bytes = patternBytes(300_001);

exportContract('a memory export', async () => ({
  export: memoryExport('memory', bytes, { chunkSize: 10_000, extents: true }),
  bytes,
}));

exportContract('a file export', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'export-'));
  const path = join(folder, 'disk');
  await writeFile(path, bytes);
  const file = await open(path);
  return {
    export: fileExport('file', file, bytes.length),
    bytes,
    close: async () => {
      await file.close();
      await rm(folder, { recursive: true });
    },
  };
});
