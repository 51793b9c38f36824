/** All verbs, in the order in which help lists them. */
import { accountAdd, accountList, accountPasswd, accountRemove } from './account.ts';
import { configCheck, configInit, configShow } from './config.ts';
import { demo } from './demo.ts';
import { discard } from './discard.ts';
import { doctor } from './doctor.ts';
import { importMail } from './import.ts';
import { inject } from './inject.ts';
import { list } from './list.ts';
import { notSpam } from './not-spam.ts';
import { release } from './release.ts';
import { releaseKey } from './release-key.ts';
import { restore } from './restore.ts';
import { serve } from './serve.ts';
import { show } from './show.ts';
import { spam } from './spam.ts';
import { storeBackup } from './store-backup.ts';
import { storeCheck, storeOptimize } from './store-check.ts';
import { storeCopy } from './store-copy.ts';
import { storeRestore } from './store-restore.ts';
import { trainingList, trainingRetry, trainingStats } from './training.ts';
import {
  trainingRequestedDefault,
  trainingRequestedOff,
  trainingRequestedOn,
  trainingRequestedShow,
} from './training-requested.ts';
import type { Verb } from './verb.ts';
import { watch } from './watch.ts';

export const verbs: readonly Verb[] = [
  serve,
  demo,
  doctor,
  configInit,
  configCheck,
  configShow,
  accountAdd,
  accountList,
  accountPasswd,
  accountRemove,
  list,
  show,
  release,
  spam,
  notSpam,
  discard,
  restore,
  releaseKey,
  trainingList,
  trainingRetry,
  trainingStats,
  trainingRequestedOn,
  trainingRequestedOff,
  trainingRequestedDefault,
  trainingRequestedShow,
  importMail,
  watch,
  inject,
  storeCopy,
  storeBackup,
  storeRestore,
  storeCheck,
  storeOptimize,
];
