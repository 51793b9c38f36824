// Loaded with --import into a server under test: ends the process, as kill -9 does, when it comes to a named step for the
// nth time. KILL_AT=store.before-commit@3. The steps are published on diagnostics channels named `lazaret:<step>`.
import { subscribe } from 'node:diagnostics_channel';

const [step, times = '1'] = (process.env.KILL_AT ?? '').split('@');
let left = Number(times);
if (step)
  subscribe(`lazaret:${step}`, () => {
    if (--left === 0) process.kill(process.pid, 'SIGKILL');
  });
