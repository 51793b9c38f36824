/** `lazaret not-spam`: learn from messages as ham. */
import { idArguments } from './ids.ts';
import type { Verb } from './verb.ts';

export const notSpam: Verb = {
  name: 'not-spam',
  summary: 'learn messages as ham, without delivering them; they go to Trash',
  about: 'Done means durably queued, with --wait ended. Without a trainer in the settings it is recorded for later.',
  arguments: idArguments,
  options: [{ flags: '--wait', help: 'wait until the training has ended, and say how' }],
  examples: [
    ['lazaret not-spam 17', 'one message'],
    ['lazaret list --folder "Training Requested" --ids | lazaret not-spam -', 'all that people asked to judge'],
  ],
  async run(call) {
    const { dropOn } = await import('./drop.ts');
    return dropOn(call, 'not-spam', { wait: call.flag('wait') });
  },
};
