/**
 * The role `worker`: does the jobs (deliveries, training) and keeps the house. Its heartbeat tells the command line that
 * somebody does; a store on which only the other roles run would keep what is released.
 */
import { nameOfTrainer } from '#app/config/trainers';
import { createDeliverHandler } from '#app/delivery/deliver';
import { createRouter } from '#app/delivery/route';
import { createSenderOf } from '#app/delivery/sender';
import { createKeeper } from '#app/inventory/keeper';
import { createRunner, type Runner } from '#app/jobs/runner';
import { startHeartbeat } from '#app/lib/heartbeat';
import { createTrainHandler } from '#app/training/train';
import { DeliveryClient } from '#smtp/client';
import type { Ground } from './ground.ts';
import { createTrainers } from './trainers.ts';

const dayMs = 24 * 3600_000;
const leaseMs = 60_000;

export interface WorkerRole {
  readonly runner: Runner;
  start(): Promise<void>;
  stop(graceMs: number): Promise<void>;
}

/** `now` is the store's clock, by which ages of jobs are told. */
export function buildWorker(
  { config, store, book, admission, shared, onEvent, log, metrics }: Ground,
  version: string,
  now: () => number,
): WorkerRole {
  const client = new DeliveryClient({ hostname: config.hostname });
  const retryForMs = config.delivery.retryForDays * dayMs;
  const train = createTrainHandler({
    store,
    trainers: createTrainers(config, client, version),
    retryForMs,
    onEvent,
    onLesson: (trainer, kind) => metrics?.lesson(trainer, kind),
    now,
  });
  metrics?.trainers(config.training.trainers.map(nameOfTrainer));
  const runner = createRunner({
    store,
    handlers: {
      deliver: createDeliverHandler({
        store,
        wayOf: createRouter(config, book, client),
        senderOf: createSenderOf(config, book),
        hostname: config.hostname,
        releaseKey: admission.releaseKey,
        validForMs: config.release.validFor,
        renameHeaders: config.release.renameHeaders,
        retryForMs,
        showAfterMs: config.release.showAfter,
        onEvent,
        log,
        now,
      }),
      'train-ham': train,
      'train-spam': train,
    },
    concurrency: config.jobs.concurrency,
    leaseMs,
    listen: shared.bus.listen,
    log,
  });
  const inventories = config.jobs.inventory
    ? createKeeper({
        store,
        log,
        listen: shared.bus.listen,
        onMade: (inventory, ms) => metrics?.inventory(inventory, ms),
      })
    : undefined;
  let endHeartbeat = async () => {};
  return {
    runner,
    async start() {
      runner.start();
      inventories?.start();
      endHeartbeat = await startHeartbeat(store.settings);
    },
    async stop(graceMs) {
      await Promise.all([endHeartbeat(), runner.stop(graceMs), inventories?.stop(graceMs)]);
      client.close();
    },
  };
}
