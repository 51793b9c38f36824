/** `lazaret store copy`: a store with everything in it becomes another one, of whatever kind. */
import { columns } from '#app/lib/terminal';
import type { Renumbering } from '#store/renumbered';
import type { Contents } from './store-contents.ts';
import { asJson, type Call, Failure, type Verb } from './verb.ts';

export const storeCopy: Verb = {
  name: 'store copy',
  summary: 'copy a whole store to another place or kind of database',
  about:
    'UIDs, UIDVALIDITY, mod-sequences, flags, jobs, accounts and keys are the same afterwards: mail clients see no ' +
    'difference. TO has to be new. Can be interrupted and run again, and then goes on; until it is through, no server starts ' +
    'on TO. Ends by reading both sides and comparing them. If a server works on FROM meanwhile, the copy is not finished: ' +
    'stop it and run the same again, which is quick, because messages that are there stay. With --renumber all UIDs are ' +
    'given anew, from 1 on and in the same order, under another UIDVALIDITY: mail clients load their folders anew, and the ' +
    'ids of entries are others. It has to be given again when it is run again.',
  arguments: [
    { name: 'from', help: 'the URL of the store that is there, as in the setting `store`' },
    { name: 'to', help: 'the URL of the new one' },
  ],
  options: [
    { flags: '--renumber', help: 'give all UIDs and ids anew: when `doctor` says that half of them are used up' },
  ],
  examples: [
    [
      'lazaret store copy sqlite:/var/lib/lazaret/lazaret.db "mongodb://db.example/lazaret?replicaSet=rs0"',
      'from one file to MongoDB',
    ],
    ['lazaret store copy sqlite:lazaret.db sqlite:/mnt/new/lazaret.db', 'to another disk'],
    ['lazaret store copy sqlite:lazaret.db sqlite:new.db --renumber', 'with UIDs from 1 on, the server being stopped'],
  ],
  async run(call) {
    const [from = '', to = ''] = call.arguments;
    const { withStore, withNewStore, interruptible } = await import('./store-open.ts');
    return withStore(from, (source) =>
      withNewStore(to, (target) =>
        interruptible('run the same again, and it goes on', async (check) => {
          const { copy } = await import('./store-copying.ts');
          const renumbering = call.flag('renumber') ? await renumberingNow() : undefined;
          const copied = await copy(source, target, check, renumbering);
          await print(call, copied.source, copied.target, renumbering?.uidValidity);
          if (!copied.source.isSame(copied.target))
            throw new Failure('The copy is not the same as what was copied; it was not finished. Run it again');
          if (copied.changed)
            throw new Failure(
              `${copied.changed}; the copy was not finished. Stop the server on ${shown(from)} and run the same again, which is quick`,
            );
          await copied.finish();
          if (renumbering) call.note(`UIDs were given anew, under the UIDVALIDITY ${renumbering.uidValidity}`);
          return 0;
        }),
      ),
    );
  },
};

const shown = (url: string): string => url.replace(/\/\/[^/@]*@/, '//…@');

async function renumberingNow(): Promise<Renumbering> {
  const [{ Renumbering }, { withId }, { renumberedHelp }] = await Promise.all([
    import('#store/renumbered'),
    import('#app/quarantine/prefix'),
    import('#app/accounts/help-settings'),
  ]);
  return new Renumbering({ now: Date.now(), prefixOf: withId, settingOf: renumberedHelp });
}

/** `renumbered`: under this UIDVALIDITY, and without the change log. */
async function print(call: Call, source: Contents, target: Contents, renumbered: number | undefined): Promise<void> {
  const { recordKinds } = await import('#store/records');
  const kinds = recordKinds.filter((kind) => kind !== 'changes' || renumbered === undefined);
  const rows = kinds.map((kind) => ({ kind, from: source.of(kind), to: target.of(kind) }));
  if (call.json)
    call.print(
      asJson({
        same: source.isSame(target),
        ...(renumbered === undefined ? {} : { uidValidity: renumbered }),
        kinds: Object.fromEntries(rows.map((row) => [row.kind, row])),
      }),
    );
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
