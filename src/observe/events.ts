/** What happened, in the product's words, for whoever shows it (the demo's lines, the log). Never the truth: that is the store. */
export type ProductEvent =
  | {
      readonly kind: 'arrived';
      readonly entryId: number;
      readonly owner: string;
      readonly subject: string;
      readonly reason: string;
    }
  | { readonly kind: 'repeated'; readonly entryId: number; readonly owner: string; readonly subject: string }
  | { readonly kind: 'handed-back'; readonly entryId: number; readonly owner: string; readonly subject: string }
  | {
      /**
       * Taken in and not kept: its sender was told to come again later (`said`, where one knows the words); or a copy of
       * delivered mail that its owner does not want (`trainingRequested`).
       */
      readonly kind: 'put-off' | 'not-wanted';
      readonly owner: string;
      readonly subject?: string;
      readonly said?: string;
    }
  | {
      /** A job's try ended. `said` is the other side's own words. */
      readonly kind:
        | 'released'
        | 'release-failed'
        | 'release-waits'
        | 'trained'
        | 'training-refused'
        | 'training-waits';
      readonly entryId?: number;
      readonly owner: string;
      /** Of a release: whom it is for, and who asked for it. */
      readonly recipient?: string;
      readonly account?: string;
      readonly subject: string;
      readonly said: string;
    }
  | { readonly kind: 'dropped'; readonly account: string; readonly action: string; readonly count: number }
  | { readonly kind: 'login'; readonly account: string; readonly address: string }
  | {
      /** The name that was tried is left out: people type their password there. */
      readonly kind: 'login-refused';
      readonly why: 'wrong' | 'not-allowed' | 'limit';
      readonly address: string;
    };

export type Listener = (event: ProductEvent) => void;
