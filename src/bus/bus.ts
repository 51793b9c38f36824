/**
 * How the parts of one installation wake each other. A bus says "look", never what to see: the store's change log is the
 * truth, and whoever listens reads on from where he was. So a ring may be lost, come twice or come for nothing; whoever
 * must not miss anything also looks by himself now and then.
 */
export interface Bus {
  /** Calls `ring` soon after changes were committed, here or by another process. Answers the way to stop it. */
  listen(ring: () => void): () => void;
  /** Resolves while other processes can be reached; otherwise rejects with a sentence that says why not. */
  probe(): Promise<void>;
  close(): Promise<void>;
}

export type Listen = Bus['listen'];
