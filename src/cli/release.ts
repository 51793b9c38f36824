/** `lazaret release`: deliver held messages to whom they were sent. */
import { idArguments } from './ids.ts';
import type { Verb } from './verb.ts';

export const release: Verb = {
  name: 'release',
  summary: 'deliver held messages to their original recipients',
  about:
    'Done means durably queued: a running server, or the next one, delivers, after the time in which a drop can be undone ' +
    '(`release.undoSeconds`). With --wait it means ended. What is on its way already counts as done and is not sent twice.',
  arguments: idArguments,
  options: [
    { flags: '--train', help: 'learn from it as ham, too' },
    { flags: '--again', help: 'deliver once more what was delivered before' },
    { flags: '--wait', help: 'wait until the delivery has ended, and say how' },
  ],
  examples: [
    ['lazaret release 17', 'put one on its way'],
    ['lazaret release 17 18 --train --wait', 'two, learned as ham, and see what the next hop says'],
    ['lazaret release 17 --again', 'once more, for somebody who deleted it'],
    ['lazaret list --owner ada@harbour.example --ids | lazaret release -', 'all of one owner'],
  ],
  async run(call) {
    const { dropOn } = await import('./drop.ts');
    return dropOn(call, call.flag('train') ? 'release-train' : 'release', {
      wait: call.flag('wait'),
      again: call.flag('again'),
    });
  },
};
