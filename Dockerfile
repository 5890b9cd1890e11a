# syntax=docker/dockerfile:1
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json tsconfig.json LICENSE ./
COPY src src
COPY workers workers
COPY native-free-bench native-free-bench
COPY test test
RUN npm ci && npm prune --omit=dev --ignore-scripts

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production HEADRACE_HOST=0.0.0.0 HEADRACE_DATA_DIR=/data
COPY --from=build /app/package.json /app/LICENSE ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist/src dist/src
COPY --from=build /app/dist/workers dist/workers
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8080
# The admin port stays on the container's loopback; probes from outside need HEADRACE_ADMIN_HOST and HEADRACE_ADMIN_KEY.
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HEADRACE_ADMIN_PORT || 9090}/livez`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/src/cli.js", "serve"]
