/** MongoDB, as a lane uses it; loaded only where it is configured, since its driver takes long to load. */
import { MongoTier } from '../src/tiers/mongo.js';
import { MongoCatalog } from '../src/tiers/mongo-catalog.js';
import { MongoConnection } from '../src/tiers/mongo-connection.js';
import { guarded, type LaneTiersOptions, type Stored } from './lane-store.js';

export function openMongo(options: LaneTiersOptions): Stored & { readonly mongoCatalog: MongoCatalog } {
  const { data, inspector, notify } = options;
  const { mongodbUrl, mongodbTimeoutMs, storeTimeoutMs, slowCommandMs, catalogLimits } = data.shared;
  const connection = new MongoConnection({
    url: mongodbUrl,
    slowMs: slowCommandMs,
    onSlow: command => notify(`mongodb: slow command: ${JSON.stringify(command)}`),
  });
  const tier = new MongoTier(connection, value => inspector.describe(value));
  const catalog = new MongoCatalog(connection, catalogLimits);
  return {
    tier: guarded(tier, options, mongodbTimeoutMs, storeTimeoutMs, true),
    catalog,
    mongoCatalog: catalog,
    cleaner: {
      eraseStep: async viewUid => {
        await tier.dropView(viewUid);
        return 0;
      },
      // MongoDB's TTL index removes what has expired.
      sweepStep: async () => ({ removed: 0, wrapped: true }),
    },
  };
}
