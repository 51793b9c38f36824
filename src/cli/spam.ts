/** `lazaret spam`: learn from messages as spam. */
import { idArguments } from './ids.ts';
import type { Verb } from './verb.ts';

export const spam: Verb = {
  name: 'spam',
  summary: 'learn messages as spam; they go to Trash',
  about: 'Done means durably queued, with --wait ended. Without a trainer in the settings it is recorded for later.',
  arguments: idArguments,
  options: [{ flags: '--wait', help: 'wait until the training has ended, and say how' }],
  examples: [
    ['lazaret spam 17', 'one message'],
    ['lazaret list --folder "Training Requested" --ids | lazaret spam -', 'all that people asked to judge'],
  ],
  async run(call) {
    const { dropOn } = await import('./drop.ts');
    return dropOn(call, 'spam', { wait: call.flag('wait') });
  },
};
