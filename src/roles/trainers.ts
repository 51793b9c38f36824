/** The trainers of the settings (training.trainers), each with how it is asked. */
import { readFileSync } from 'node:fs';
import type { Config } from '#app/config/schema';
import { nameOfTrainer, type TrainerSettings } from '#app/config/trainers';
import { trainingsAtOnce } from '#app/jobs/runner';
import { createArfTrainer, type SendReport } from '#app/training/arf';
import { createCommandTrainer } from '#app/training/command';
import { createMaildirTrainer } from '#app/training/maildir';
import { createMboxTrainer } from '#app/training/mbox';
import { createRspamdTrainer } from '#app/training/rspamd';
import { createSaLearnTrainer } from '#app/training/sa-learn';
import { createSpamdTrainer } from '#app/training/spamd';
import type { Teaching } from '#app/training/train';
import type { Trainer } from '#app/training/trainer';
import { createWebhookTrainer } from '#app/training/webhook';
import { type DeliveryClient, parseNextHop } from '#smtp/client';

/** Lessons at a time. What locks its database, or a file, learns one after the other anyway. */
const atOnce: Readonly<Record<TrainerSettings['type'], number>> = {
  command: 2,
  'sa-learn': 1,
  rspamd: 8,
  spamd: 4,
  webhook: 8,
  arf: 2,
  maildir: 4,
  mbox: 1,
};

export function createTrainers(
  { training, hostname, delivery, jobs }: Pick<Config, 'training' | 'hostname' | 'delivery' | 'jobs'>,
  client: Pick<DeliveryClient, 'deliver'>,
  version: string,
): readonly Teaching[] {
  return training.trainers.map((settings) => ({
    trainer: create(settings),
    scope: settings.scope,
    timeoutMs: settings.timeout,
    // One that hangs must leave a place for those jobs that do not wait for it.
    atOnce: Math.min(atOnce[settings.type], trainingsAtOnce(jobs.concurrency) - 1),
  }));

  function create(settings: TrainerSettings): Trainer {
    const name = nameOfTrainer(settings);
    const timeoutMs = settings.timeout;
    switch (settings.type) {
      case 'command':
        return createCommandTrainer({ ...settings, name, timeoutMs });
      case 'sa-learn':
        return createSaLearnTrainer({ ...settings, name, timeoutMs });
      case 'rspamd':
        return createRspamdTrainer({ ...settings, name, timeoutMs });
      case 'spamd':
        return createSpamdTrainer({ ...settings, name, timeoutMs });
      case 'webhook': {
        const { ca, ...rest } = settings;
        return createWebhookTrainer({ ...rest, name, ...(ca !== undefined && { ca: readFileSync(ca, 'utf8') }) });
      }
      case 'arf': {
        const send = sendBy(settings.nextHop ?? delivery.nextHop);
        return createArfTrainer({ ...settings, name, hostname, version, send });
      }
      case 'maildir':
        return createMaildirTrainer({ ...settings, name });
      case 'mbox':
        return createMboxTrainer({ ...settings, name });
    }
  }

  function sendBy(nextHop: string): SendReport {
    const hop = parseNextHop(nextHop);
    return async ({ to, source, size, signal }) => {
      const envelope = { sender: '', recipients: [{ address: to }], notify: 'NEVER' as const };
      const { outcomes } = await client.deliver(hop, envelope, source, size, signal);
      return outcomes[0]!;
    };
  }
}
