#!/usr/bin/env node
/** The executable. Everything it does is a verb (cli/). */
import { run } from '#app/cli/program';

// A reader that has seen enough (`lazaret list | head`) is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(1);
    throw error;
  });

const code = await run(process.argv.slice(2), {
  env: process.env,
  stdin: process.stdin,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
// Not before a pipe has taken everything.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
