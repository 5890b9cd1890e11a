/** The server's log: one JSON line an event on standard output, made readable when that is a terminal. */
import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from '../config.js';

export type Log = Logger;

export function openLog(level: Config['logLevel']): Log {
  const options = { level, base: null };
  if (!process.stdout.isTTY) return pino(options, pino.destination({ fd: 1, sync: true }));
  return pino(options, pretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true }));
}
