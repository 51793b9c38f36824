/** `lazaret discard`: put messages into Trash. */
import { idArguments } from './ids.ts';
import type { Verb } from './verb.ts';

export const discard: Verb = {
  name: 'discard',
  summary: 'put messages into Trash',
  about:
    'They can be restored from there until they are purged. Nothing is learned from them, unless `training.learn.discarded` ' +
    'names the command line.',
  arguments: idArguments,
  examples: [
    ['lazaret discard 17 18', 'two messages'],
    ['lazaret list --folder Caught --ids | lazaret discard -', 'everything in a folder'],
  ],
  async run(call) {
    const { dropOn } = await import('./drop.ts');
    return dropOn(call, 'discard');
  },
};
