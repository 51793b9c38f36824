/** `lazaret training-requested`, `inject` into that folder, and what `show` tells of a message's way here. */
import t from 'tap';
import { blockOf } from '../support/doc-blocks.ts';
import { world } from './world.ts';

t.test('on, off and default are kept in the store, in normal form; show says by whose word', async (t) => {
  const { run } = world(t, 'trainingRequested: { on: [quay.example] }\n');
  const say = async (...argv: string[]) => {
    const { code, out, err } = await run('training-requested', ...argv);
    return code === 0 ? out : `${code} ${err}`;
  };
  t.equal(await say('show', 'ada@harbour.example'), 'ada@harbour.example: off, by the settings (trainingRequested)\n');
  t.equal(await say('show', 'ben@quay.example'), 'ben@quay.example: on, by the settings (trainingRequested)\n');
  t.equal(await say('on', 'Harbor.Example'), 'harbour.example: on, as was said for it\n');
  t.equal(await say('show', 'Ada+x@harbour.example'), 'ada@harbour.example: on, as was said for its domain\n');
  t.equal(await say('off', 'ada@harbor.example'), 'ada@harbour.example: off, as was said for it\n');
  t.same(JSON.parse(await say('show', 'ada@harbour.example', '--json')), {
    name: 'ada@harbour.example',
    state: 'off',
    by: 'name',
  });
  t.equal(await say('default', 'ada@harbour.example'), 'ada@harbour.example: on, as was said for its domain\n');
  t.equal(await say('off', 'quay.example'), 'quay.example: off, as was said for it\n');
  t.equal(await say('default', 'quay.example'), 'quay.example: on, by the settings (trainingRequested)\n');
  for (const name of ['elsewhere.example', 'global', 'ann*harbour.example', 'x y'])
    t.match(await say('on', name), /^1 .*is neither a domain that stands under `domains`, nor an address in one/, name);
});

t.test('what is injected into Training Requested by hand needs no switch, and leaves after keepFor', async (t) => {
  const { run, pipe } = world(t, 'trainingRequested: { keepFor: 3d }\n');
  const injected = await pipe(
    'Subject: by hand\n\nx\n',
    'inject',
    '--folder',
    'Training Requested',
    '--rcpt',
    'ada@harbour.example',
  );
  t.equal(injected.code, 0, injected.err);
  const { out } = await run('show', injected.out.trim());
  const at = (what: string) => Date.parse(new RegExp(`${what} +(\\S+)`).exec(out)?.[1] ?? '');
  t.equal(at('leaves at') - at('held since'), 3 * 24 * 3600_000, out);
});

t.test('the lines of docs/connect/other.md do what they say', async (t) => {
  const { run } = world(t);
  for (const line of blockOf('docs/connect/other.md', 'training.sh').trimEnd().split('\n')) {
    const [program, ...argv] = line.split(' ');
    t.equal(program, 'lazaret');
    t.match(await run(...argv), { code: 0, err: '' }, line);
  }
  const standing = async (name: string) => (await run('training-requested', 'show', name)).out;
  t.match(await standing('ada@harbour.example'), /: on, as was said for its domain/);
  t.match(await standing('ben@harbour.example'), /: off, as was said for it/);
});
