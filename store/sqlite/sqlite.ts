/** The one place that names the SQLite package, so that node's built-in module can take its place one day. */
export {
  DatabaseSync as Database,
  type DatabaseSyncInstance as DatabaseHandle,
  type StatementSyncInstance as Statement,
} from '@photostructure/sqlite';
