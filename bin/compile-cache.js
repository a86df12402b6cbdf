// Node keeps compiled code on disk, which makes later starts faster. What is in the cache runs as code: it is used only
// where no other user can write, and a failure costs nothing but the time. NODE_DISABLE_COMPILE_CACHE=1 turns it off.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

/** Whether only this user and root can replace `entry`. Links have no mode; in a sticky directory, only owners replace. */
function isOwn(entry) {
  const stat = fs.lstatSync(entry);
  if (stat.uid !== 0 && stat.uid !== process.geteuid()) return false;
  return stat.isSymbolicLink() || !(stat.mode & 0o022) || Boolean(stat.mode & 0o1000);
}

function isOwnToTheRoot(entry) {
  const parent = path.dirname(entry);
  return isOwn(entry) && (parent === entry || isOwnToTheRoot(parent));
}

function nearestExisting(entry) {
  return fs.existsSync(entry) ? entry : nearestExisting(path.dirname(entry));
}

/** The user's cache directory after the XDG Base Directory Specification; undefined without a home. */
function cacheHome() {
  const named = process.env.XDG_CACHE_HOME;
  if (named && path.isAbsolute(named)) return path.normalize(named);
  const home = process.env.HOME;
  if (!home || !path.isAbsolute(home) || path.normalize(home) === '/') return undefined;
  // One that does not exist is not created.
  return fs.statSync(home).isDirectory() ? path.join(home, '.cache') : undefined;
}

/** Throws the system's error, or returns undefined, where there is no safe place. */
function safeDirectory() {
  const home = cacheHome();
  if (home === undefined) return undefined;
  // Checked before anything is created: root under sudo leaves nothing in another user's home.
  const existing = nearestExisting(home);
  if (!isOwnToTheRoot(existing) || !isOwnToTheRoot(fs.realpathSync(existing))) return undefined;
  const directory = path.join(home, 'kubevirt-datamover');
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  // Node creates its own directory inside with the permissions that the umask leaves.
  const stat = fs.lstatSync(directory);
  return stat.isDirectory() && stat.uid === process.geteuid() && !(stat.mode & 0o077) ? directory : undefined;
}

try {
  // With NODE_COMPILE_CACHE, Node has enabled it already.
  if (!process.env.NODE_COMPILE_CACHE && !process.env.NODE_DISABLE_COMPILE_CACHE) {
    const directory = safeDirectory();
    if (directory !== undefined) require('node:module').enableCompileCache(directory);
  }
} catch (_) {
  // A read-only or full file system: the program starts without it.
}
