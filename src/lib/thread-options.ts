/**
 * Of the options of this process, those by which a thread finds our modules: conditions, and imports of our own. What a test
 * runner or a profiler has preloaded into the main thread costs a thread 250 ms, and is of no use there.
 */
export function threadOptions(argv: readonly string[] = process.execArgv): string[] {
  return argv.flatMap((argument, at) => {
    const equals = argument.indexOf('=');
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const value = equals < 0 ? (argv[at + 1] ?? '') : argument.slice(equals + 1);
    if (name === '--conditions' || name === '-C') return [`--conditions=${value}`];
    return name === '--import' && value.startsWith('.') ? [`--import=${value}`] : [];
  });
}
