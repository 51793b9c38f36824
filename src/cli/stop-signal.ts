/**
 * When to stop: at the first SIGTERM or SIGINT. A later one ends the program at once, for whoever has no patience; but not
 * one that comes within a second: npm passes on a Ctrl-C that the terminal has sent to the whole group of processes.
 */
const sameMs = 1_000;

export function stopSignal(): Promise<NodeJS.Signals> {
  let firstAt: number | undefined;
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.on(signal, () => {
        if (firstAt !== undefined && performance.now() - firstAt > sameMs) process.exit(1);
        firstAt ??= performance.now();
        resolve(signal);
      });
  });
}
