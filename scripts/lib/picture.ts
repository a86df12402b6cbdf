// The README's picture: a real restore of the embedded backup in a real terminal (tmux), drawn as SVG.
//
//   node scripts/lib/picture.ts docs/restore.svg        (needs tmux, qemu-utils, and dist/ built)
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SESSION = `kdm-picture-${process.pid}`;
const COLUMNS = 100;
const ROWS = 25;
const COMMANDS = [
  'kubevirt-datamover list --source ./bucket --backup backup-004',
  'kubevirt-datamover plan --source ./bucket --vm demo/web --pvc rootdisk=./rootdisk.raw > plan.yaml',
  'kubevirt-datamover restore plan.yaml --scratch ./scratch --verify compare',
];

const folder = mkdtempSync(join(tmpdir(), 'web-'));
try {
  cpSync(join(ROOT, 'fixtures/bucket'), join(folder, 'bucket'), { recursive: true });
  tmux('new-session', '-d', '-s', SESSION, '-x', String(COLUMNS), '-y', String(ROWS), '-c', folder, 'bash --norc');
  await type(
    `export PATH=${join(ROOT, 'bin')}:${join(ROOT, 'node_modules/.bin')}:$PATH PS1='$ ' PROMPT_COMMAND='tmux wait-for -S ${SESSION}'; clear`,
  );
  for (const command of COMMANDS) await type(command);
  writeFileSync(process.argv[2] ?? 'restore.svg', drawScreen(tmux('capture-pane', '-t', SESSION, '-e', '-p')));
} finally {
  tmux('kill-session', '-t', SESSION);
  rmSync(folder, { recursive: true });
}

function tmux(...args: string[]): string {
  return execFileSync('tmux', args, { encoding: 'utf8' });
}

/** Types a command and waits until the prompt is back. */
async function type(command: string): Promise<void> {
  tmux('send-keys', '-t', SESSION, command, 'C-m');
  execFileSync('tmux', ['wait-for', SESSION]);
  // The shell signals right before it prints its prompt.
  await sleep(300);
}

/** A screen with SGR colours (ECMA-48) as SVG text, a line a `text`. */
function drawScreen(screen: string): string {
  const lines = screen
    .trimEnd()
    .split('\n')
    .filter((line) => line.trim() !== '');
  const height = 20 * lines.length + 28;
  const rows = lines.map(
    (line, index) => `<text x="16" y="${32 + 20 * index}" xml:space="preserve">${drawLine(line)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${COLUMNS * 8.43 + 32} ${height}" font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14">`,
    '<title>A backup is listed, planned and restored in a terminal</title>',
    '<rect width="100%" height="100%" rx="8" fill="#1c1f26"/>',
    `<g fill="#d8dee9">${rows.join('\n')}</g>`,
    '</svg>\n',
  ].join('\n');
}

const COLOURS: Readonly<Record<string, string>> = {
  '31': '#ef6b73',
  '32': '#98c379',
  '33': '#e5c07b',
  '36': '#56b6c2',
  '90': '#7f848e',
};

function drawLine(line: string): string {
  const [first = '', ...rest] = line.split('\u001b[');
  const pieces = rest.map((piece) => {
    const end = piece.indexOf('m');
    const colour = COLOURS[piece.slice(0, end).split(';').at(-1) ?? ''];
    const text = escapeXml(piece.slice(end + 1));
    return colour === undefined ? text : `<tspan fill="${colour}">${text}</tspan>`;
  });
  const text = escapeXml(first) + pieces.join('');
  return text.startsWith('$ ') ? `<tspan fill="#98c379">$</tspan>${text.slice(1)}` : text;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
