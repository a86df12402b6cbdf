// The executable as a Debian package, made with dpkg-deb: what a rescue host installs with `apt-get install ./FILE.deb`.
import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ROOT } from '../build/bundle.ts';
import { manPages } from '../man/pages.ts';

const NAME = 'kubevirt-datamover';

/** Where Debian's shells look for the completions of packages. */
const COMPLETIONS = {
  bash: `usr/share/bash-completion/completions/${NAME}`,
  zsh: `usr/share/zsh/vendor-completions/_${NAME}`,
  fish: `usr/share/fish/vendor_completions.d/${NAME}.fish`,
} as const;

/** The backup that the quick start restores, and the checksums of its disks. */
const FIXTURES = ['README.md', 'SHA256SUMS', 'bucket'].map((name) => `fixtures/${name}`);

export interface DebOptions {
  /** Holds the executable and its licences; the package is written there. */
  readonly folder: string;
  readonly executable: string;
}

/** Writes `kubevirt-datamover_VERSION_amd64.deb`. Throws what a tool or the file system says. */
export function makeDeb({ folder, executable }: DebOptions): void {
  const { version, description } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const tree = mkdtempSync(join(tmpdir(), 'kdm-deb-'));
  try {
    const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), content, { mode });
    };
    const doc = `usr/share/doc/${NAME}`;
    put(`usr/bin/${NAME}`, readFileSync(executable), 0o755);
    put(`${doc}/copyright`, readFileSync(`${executable}.licenses.txt`));
    put(`${doc}/changelog.gz`, gzipSync(readFileSync(join(ROOT, 'CHANGELOG.md')), { level: 9 }));
    for (const path of ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docs', ...FIXTURES]) {
      cpSync(join(ROOT, path), join(tree, doc, path), { recursive: true });
    }
    for (const [shell, path] of Object.entries(COMPLETIONS)) {
      put(path, execFileSync(executable, ['completion', shell]));
    }
    for (const { file, text } of manPages()) put(`usr/share/man/man1/${file}.gz`, gzipSync(text, { level: 9 }));
    put('DEBIAN/md5sums', execFileSync('md5sum', files(tree), { cwd: tree }));
    put('DEBIAN/control', control({ version, description, size: sizeOf(tree) }));
    // A mask of the shell may have left the folders to their owner alone.
    execFileSync('chmod', ['-R', 'u=rwX,go=rX', tree]);
    const deb = join(folder, `${NAME}_${version}_amd64.deb`);
    // gzip: every dpkg reads it, and xz takes ten times as long for a fifth less; level 9 takes four times as long for a fiftieth less.
    execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z5', '--build', tree, deb], { stdio: 'pipe' });
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** https://www.debian.org/doc/debian-policy/ch-controlfields.html; the libraries are those of the Node binary. */
function control({ version, description, size }: { version: string; description: string; size: number }): string {
  return `Package: ${NAME}
Version: ${version}
Architecture: amd64
Maintainer: The ${NAME} developers <root@localhost>
Section: admin
Priority: optional
Installed-Size: ${size}
Depends: qemu-utils (>= 1:5.2), util-linux, libc6 (>= 2.28), libstdc++6, libgcc-s1
Description: ${description}
 Downloads the full and incremental layers of a disk, rebases them into a chain
 and writes the resulting disk to a block device or a file. A copy of the bucket
 is enough: no cluster is needed. The program brings its own Node.
`;
}

/** Relative paths of the files, in one order on every machine. */
function files(tree: string): string[] {
  return readdirSync(tree, { recursive: true, encoding: 'utf8' })
    .filter((path) => lstatSync(join(tree, path)).isFile())
    .sort();
}

/** KiB, as Installed-Size counts. */
function sizeOf(tree: string): number {
  return files(tree).reduce((sum, path) => sum + Math.ceil(lstatSync(join(tree, path)).size / 1024), 0);
}
