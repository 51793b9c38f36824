/** A node in a process of its own that opens connections and is killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Resolves when it is dead. */
export async function killed(url: string, account: string, connections: number): Promise<void> {
  const program = `
    import { openBus } from '#app/bus/open';
    import { silent } from '#app/observe/log';
    const { connections } = await openBus({
      url: ${JSON.stringify(url)},
      store: { changes: { watch: () => () => {} }, uidValidity: 17 },
      loginFailures: { delayMs: 0, maxDelayMs: 0 },
      log: silent,
      timing: { beatMs: 100 },
    });
    for (let n = 0; n < ${connections}; n += 1) await connections.open(${JSON.stringify(account)}, 100);
    console.log('open');
    setInterval(() => {}, 1000);`;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--conditions=lazaret-source', '--import=./tools/ts.mjs', '--input-type=module', '--eval', program],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}
