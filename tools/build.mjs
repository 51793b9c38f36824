// Compiles the sources into dist/, beside them what is not TypeScript, and makes the program executable.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, rmSync } from 'node:fs';

const root = new URL('../', import.meta.url);
rmSync(new URL('dist', root), { recursive: true, force: true });
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
const copied = /\.(sql|html|css|svg)$/;
for (const folder of ['imap', 'smtp', 'store', 'src'])
  cpSync(new URL(folder, root), new URL(`dist/${folder}`, root), {
    recursive: true,
    filter: (from) => !/\.[a-z]+$/.test(from) || copied.test(from),
  });
const main = new URL('dist/src/main.js', root);
if (existsSync(main)) chmodSync(main, 0o755);
