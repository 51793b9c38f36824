/**
 * How long a put-off job waits. From its age and not from a count of tries: it then means the same after a restart, and a
 * try that never got as far as the other side (all connections in use) makes the next real one no later. As Postfix does.
 */
export const minimumDelayMs = 300_000;
export const maximumDelayMs = 4_000_000;

/** `random` in [0, 1) spreads what was put off together. The delay grows with the age: 300 s, then 5, 10, 20 … minutes. */
export function retryDelayMs(ageMs: number, random: number): number {
  const spread = 1.25;
  const base = Math.min(Math.max(ageMs, minimumDelayMs), maximumDelayMs / spread);
  return Math.round(base * (1 + (spread - 1) * random));
}
