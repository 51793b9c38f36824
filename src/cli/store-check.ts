/** `lazaret store check` and `store optimize`: a store that is looked over, and one that is made small. */
import { isServerRunning } from '#app/lib/heartbeat';
import { asJson, type Verb } from './verb.ts';

export const storeCheck: Verb = {
  name: 'store check',
  summary: 'look over the whole store, and mend it',
  about:
    'Reads and hashes all messages, and looks for octets without entries, entries without octets, jobs without entries or ' +
    'drops, counters that are behind, and damage in the database itself; a server may run meanwhile. One line for each ' +
    'finding. The exit code is 1 if something is left that is not mended. With --repair no mail is ever thrown away: an ' +
    'entry goes only if its octets are gone already.',
  options: [{ flags: '--repair', help: 'mend what can be mended' }],
  examples: [
    ['lazaret store check', 'say what is wrong'],
    ['lazaret store check --repair', 'after a backup'],
  ],
  async run(call) {
    const repair = call.flag('repair');
    const { store: url } = await call.config();
    const [{ withStore }, { sentenceOf }] = await Promise.all([import('./store-open.ts'), import('#store/findings')]);
    return withStore(url, async (store) => {
      const findings: object[] = [];
      let unmended = 0;
      for await (const finding of store.upkeep.check({ repair })) {
        const sentence = sentenceOf(finding);
        if (!finding.mended) unmended += 1;
        if (call.json) findings.push({ ...finding, sentence });
        else call.print(`${sentence}\n`);
      }
      if (call.json) call.print(asJson({ findings, unmended }));
      else if (unmended > 0) call.note(`${unmended} left${repair ? '' : '; --repair mends what can be mended'}`);
      else call.note('All is in order');
      return unmended > 0 ? 1 : 0;
    });
  },
};

export const storeOptimize: Verb = {
  name: 'store optimize',
  summary: 'give unused space back, and tell the database about its indexes',
  about: 'With the server stopped it may take more time and free more: then the file is written anew.',
  examples: [['lazaret store optimize', 'after much was removed, with the server stopped']],
  async run(call) {
    const { store: url } = await call.config();
    const { withStore } = await import('./store-open.ts');
    return withStore(url, async (store) => {
      const said = await store.upkeep.optimize({ alone: !(await isServerRunning(store.settings)) });
      call.print(call.json ? asJson({ done: said }) : said.map((sentence) => `${sentence}\n`).join(''));
      return 0;
    });
  },
};
