/**
 * The settings of one trainer: what all have, and what each type has besides. docs/training.md says what each means.
 */
import * as z from 'zod';
import {
  address,
  argv,
  duration,
  filePath,
  httpUrl,
  list,
  network,
  nextHop,
  oneOf,
  secretText,
  socketAddress,
  trainerName,
  whole,
  yesOrNo,
} from './kinds.ts';

export const trainingScopes = ['global', 'domain', 'user'] as const;
export type TrainingScope = (typeof trainingScopes)[number];

/** What every trainer has. One lesson that takes longer than `timeout` is given up, and tried again later. */
const shared = (timeout: string) => ({
  name: trainerName().exactOptional(),
  scope: oneOf(trainingScopes).default('global'),
  timeout: duration().prefault(timeout),
});

const types = {
  command: {
    type: z.literal('command'),
    ...shared('60s'),
    spam: argv(),
    ham: argv(),
  },
  'sa-learn': {
    type: z.literal('sa-learn'),
    ...shared('60s'),
    command: argv().default(['sa-learn']),
    dbPath: filePath().exactOptional(),
  },
  rspamd: {
    type: z.literal('rspamd'),
    ...shared('30s'),
    url: httpUrl().prefault('http://127.0.0.1:11334'),
    password: secretText().exactOptional(),
    bayes: yesOrNo().default(true),
    classifier: z
      .string({ error: 'the name of a classifier' })
      .min(1, { error: 'the name of a classifier' })
      .exactOptional(),
    fuzzy: z
      .strictObject(
        {
          spamFlag: whole(1, 65_535).exactOptional(),
          hamFlag: whole(1, 65_535).exactOptional(),
          weight: whole(1, 10_000).default(10),
        },
        { error: 'spamFlag, hamFlag and weight' },
      )
      .exactOptional(),
  },
  spamd: {
    type: z.literal('spamd'),
    ...shared('30s'),
    address: socketAddress().prefault('127.0.0.1:783'),
    report: yesOrNo().default(false),
  },
  webhook: {
    type: z.literal('webhook'),
    ...shared('30s'),
    url: httpUrl(),
    secret: secretText(16),
    content: oneOf(['message', 'none']).default('message'),
    maxBytes: whole(1024, 268_435_456).default(16_777_216),
    privateNetworks: list(network(), 'addresses and ranges').default([]),
    ca: filePath().exactOptional(),
  },
  arf: {
    type: z.literal('arf'),
    ...shared('60s'),
    spam: address().exactOptional(),
    ham: address().exactOptional(),
    from: address().exactOptional(),
    nextHop: nextHop().exactOptional(),
  },
  maildir: {
    type: z.literal('maildir'),
    ...shared('30s'),
    spam: filePath(),
    ham: filePath(),
  },
  mbox: {
    type: z.literal('mbox'),
    ...shared('30s'),
    spam: filePath(),
    ham: filePath(),
  },
};
export type TrainerType = keyof typeof types;
export const trainerTypes = Object.keys(types) as TrainerType[];

/** The settings that a trainer of this type may have. */
export const settingsOfTrainer = (type: unknown): readonly string[] =>
  Object.keys(types[type as TrainerType] ?? { type: '' });

const one = <T extends z.core.$ZodLooseShape>(shape: T) => z.strictObject(shape);

export const trainer = () =>
  z.discriminatedUnion(
    'type',
    [
      one(types.command),
      one(types['sa-learn']),
      one(types.rspamd),
      one(types.spamd),
      one(types.webhook),
      one(types.arf),
      one(types.maildir),
      one(types.mbox),
    ],
    {
      error: ({ input }) =>
        typeof input === 'object' && input !== null
          ? `one of ${trainerTypes.join(', ')}`
          : `a trainer with its type, one of ${trainerTypes.join(', ')}`,
    },
  );

export type TrainerSettings = z.output<ReturnType<typeof trainer>>;

/** What history, logs and numbers call it. */
export const nameOfTrainer = ({ name, type }: Pick<TrainerSettings, 'name' | 'type'>): string => name ?? type;
