// Ends what a test run started, however the run ended: waits until a process is gone, or the folder is; then kills every
// process whose number stands in a `*.pid` file of the folder, and removes the folder.
//
//     node mongod-keeper.mjs FOLDER PID
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const [folder, watched] = process.argv.slice(2);

function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
  try {
    // One that has ended and that nobody has asked about yet: Z behind the name in brackets.
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return !existsSync('/proc/self/stat');
  }
}

function end() {
  const pids = readdirSync(folder, { encoding: 'utf8' })
    .filter((name) => name.endsWith('.pid'))
    .map((name) => Number(readFileSync(join(folder, name), 'utf8')));
  for (const pid of pids) if (pid > 1 && isAlive(pid)) process.kill(pid, 'SIGKILL'); // also one that is stopped
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

// Who watches over a run that was killed cannot be told so by it.
setInterval(() => {
  if (existsSync(folder) && isAlive(Number(watched))) return;
  if (existsSync(folder)) end();
  process.exit();
}, 250);
