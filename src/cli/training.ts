/** `lazaret training retry`: what could not be learned for want of a trainer is learned now (DESIGN §7.11). */
import { isServerRunning } from '#app/lib/heartbeat';
import { asJson, type Verb } from './verb.ts';

export const trainingRetry: Verb = {
  name: 'training retry',
  summary: 'learn what was kept for later because no trainer was configured',
  about:
    'Without `training` in the settings a drop on Spam, Not Spam or Release & Train is recorded and kept. Once there is a ' +
    'trainer, this queues all of that again, as long as the messages are there; of each message what was wanted last.',
  examples: [
    ['lazaret training retry', 'after `training` was added to the settings and the server restarted'],
    ['lazaret training retry --json', 'for programs: { "queued": 12 }'],
  ],
  async run(call) {
    const { withTools } = await import('./tools.ts');
    return withTools(call, async ({ store, config }) => {
      const queued = await store.jobs.retryUntrained();
      call.print(call.json ? asJson({ queued }) : `queued ${queued}\n`);
      if (!config.training) call.note('these settings name no trainer: without one it will be kept for later again');
      else if (queued > 0 && !(await isServerRunning(store.settings)))
        call.note('no server is running: it will be learned from when one starts');
      return 0;
    });
  },
};
