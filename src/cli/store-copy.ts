/** `lazaret store copy`: a store with everything in it becomes another one, of whatever kind. */
import { columns } from '#app/lib/terminal';
import type { Contents } from './store-contents.ts';
import { asJson, type Call, Failure, type Verb } from './verb.ts';

export const storeCopy: Verb = {
  name: 'store copy',
  summary: 'copy a whole store to another place or kind of database',
  about:
    'UIDs, UIDVALIDITY, mod-sequences, flags, jobs, accounts and keys are the same afterwards: mail clients see no ' +
    'difference. TO has to be new. Can be interrupted and run again, and then goes on; until it is through, no server starts ' +
    'on TO. Ends by reading both sides and comparing them. If a server works on FROM meanwhile, the copy is not finished: ' +
    'stop it and run the same again, which is quick, because messages that are there stay.',
  arguments: [
    { name: 'from', help: 'the URL of the store that is there, as in the setting `store`' },
    { name: 'to', help: 'the URL of the new one' },
  ],
  examples: [
    [
      'lazaret store copy sqlite:/var/lib/lazaret/lazaret.db "mongodb://db.example/lazaret?replicaSet=rs0"',
      'from one file to MongoDB',
    ],
    ['lazaret store copy sqlite:lazaret.db sqlite:/mnt/new/lazaret.db', 'to another disk'],
  ],
  async run(call) {
    const [from = '', to = ''] = call.arguments;
    const { withStore, withNewStore, interruptible } = await import('./store-open.ts');
    return withStore(from, (source) =>
      withNewStore(to, (target) =>
        interruptible('run the same again, and it goes on', async (check) => {
          const { copy } = await import('./store-copying.ts');
          const copied = await copy(source, target, check);
          await print(call, copied.source, copied.target);
          if (!copied.source.isSame(copied.target))
            throw new Failure('The copy is not the same as what was copied; it was not finished. Run it again');
          if (copied.changed)
            throw new Failure(
              `${copied.changed}; the copy was not finished. Stop the server on ${shown(from)} and run the same again, which is quick`,
            );
          await copied.finish();
          return 0;
        }),
      ),
    );
  },
};

const shown = (url: string): string => url.replace(/\/\/[^/@]*@/, '//…@');

async function print(call: Call, source: Contents, target: Contents): Promise<void> {
  const { recordKinds } = await import('#store/records');
  const rows = recordKinds.map((kind) => ({ kind, from: source.of(kind), to: target.of(kind) }));
  if (call.json)
    call.print(asJson({ same: source.isSame(target), kinds: Object.fromEntries(rows.map((row) => [row.kind, row])) }));
  else
    call.print(
      columns([
        ['KIND', 'FROM', 'TO', 'HASH', ''],
        ...rows.map(({ kind, from, to }) => [
          kind,
          String(from.count),
          String(to.count),
          from.hash.slice(0, 16),
          source.isSameIn(kind, target) ? 'the same' : `differs: ${to.hash.slice(0, 16)}`,
        ]),
      ]),
    );
}
