// tap's TypeScript plugin does not run with TypeScript 7. `plugin:` in .taprc alone makes the first run on fresh
// node_modules fail, so tap is rebuilt without it before its first run.
import { spawnSync } from 'node:child_process';
import t from 'tap';

if (t.pluginSignature.includes('@tapjs/typescript')) {
  const { status } = spawnSync('npx', ['tap', 'build'], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
