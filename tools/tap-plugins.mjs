// tap's TypeScript plugin does not run with TypeScript 7. `plugin:` in .taprc alone makes the first run on fresh
// node_modules fail, so tap is rebuilt without it before its first run.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const built = readFileSync(new URL('../node_modules/@tapjs/test/dist/esm/index.js', import.meta.url), 'utf8');
if (built.includes('@tapjs/typescript')) execFileSync('npx', ['tap', 'build'], { stdio: 'inherit' });
