/** A promise that is waited for only so long. What it stands for goes on; whoever asks again has to mind that. */

export class TooLate extends Error {
  constructor(ms: number) {
    super(`nothing came within ${ms / 1000} s`);
    this.name = 'TooLate';
  }
}

/** @throws TooLate, and what the promise throws */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new TooLate(ms)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {}); // one that fails after its time has nobody to tell
  }
}
