/** A command line of a test's own: a folder, a configuration, a store. Runs verbs in this process, or as one of their own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Test } from 'tap';
import { run as runVerb } from '#app/cli/program';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** In this process: only what is about processes needs one. */
export async function pipe(input: string, ...argv: string[]): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await runVerb(argv, {
    env: {},
    stdin: Readable.from(input === '' ? [] : [Buffer.from(input)]),
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}
export const run = (...argv: string[]) => pipe('', ...argv);

export interface World {
  readonly folder: string;
  readonly store: string;
  /** With the configuration of this world behind it. */
  run(...argv: string[]): Promise<Ran>;
  pipe(input: string, ...argv: string[]): Promise<Ran>;
  readonly config: string;
}

export function world(t: Test, settings = ''): World {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'lazaret.yaml');
  writeFileSync(
    config,
    `hostname: quarantine.example
imap: { listen: ["127.0.0.1:0"], allowCleartextLogin: true }
intake: { lmtp: ["127.0.0.1:0"], smtp: [] }
domains: { harbour.example: { aliases: [harbor.example] }, quay.example: }
release: { undoSeconds: 0 }
log: { format: json }
${settings}`,
  );
  return {
    folder,
    config,
    store: join(folder, 'data/lazaret.db'),
    run: (...argv) => run(...argv, '--config', config),
    pipe: (input, ...argv) => pipe(input, ...argv, '--config', config),
  };
}

export const mail = (subject: string) =>
  `From: Shop <shop@elsewhere.example>\nSubject: ${subject}\n\nThe body of ${subject}.\n`;
