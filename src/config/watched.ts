/** The settings of a folder that is watched. docs/files.md says what each means. */
import * as z from 'zod';
import { address, duration, filePath, filterSetting, list, oneOf, yesOrNo } from './kinds.ts';

const fieldName = () => {
  const error = 'the name of a field, like Delivered-To';
  return z.string({ error }).regex(/^[!-9;-~]{1,100}$/, { error });
};

export const watchedForm = 'folders, each as { folder: PATH, … }';

export function watchedFolder<const D extends readonly [string, ...string[]]>(directions: D) {
  return z.strictObject(
    {
      folder: filePath(),
      rcpt: list(address(), 'addresses').default([]),
      rcptField: fieldName().optional(),
      filter: filterSetting().optional(),
      direction: oneOf(directions).optional(),
      done: filePath().optional(),
      delete: yesOrNo().default(false),
      every: duration().prefault('30s'),
      settle: duration().prefault('5s'),
    },
    { error: '{ folder: PATH, … }' },
  );
}

export const settingsOfWatched = Object.keys(watchedFolder(['auto']).shape);
