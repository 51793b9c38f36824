# Lazaret as an image: built in one stage, and only what runs in the other. Runs as a user who is not root, writes nowhere
# but into /var/lib/lazaret, and works with a root file system that is read-only.
FROM node:20-bookworm-slim AS build
WORKDIR /app
# The dependencies alone, so that a change of the sources does not fetch them anew. None of them compiles anything.
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY tools tools
COPY imap imap
COPY smtp smtp
COPY store store
COPY src src
RUN npm run build && npm ci --omit=dev --no-audit --no-fund && npm cache clean --force

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY demo/mail demo/mail
COPY deploy/make-cert.mjs deploy/make-cert.mjs
# A volume that is mounted there for the first time takes its owner from here.
RUN ln -s /app/dist/src/main.js /usr/local/bin/lazaret \
 && mkdir -p /etc/lazaret /var/lib/lazaret/tls && chown -R node:node /var/lib/lazaret
USER node
WORKDIR /var/lib/lazaret
VOLUME /var/lib/lazaret
EXPOSE 1143 1993 2424 10025 8080
# Wants http.listen on port 8080, as deploy/lazaret.yaml has it. The event loop turns; whether the store answers is /readyz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# It ends cleanly on SIGTERM by itself; `init: true` in docker-compose.yml is for the commands of `training`.
ENTRYPOINT ["node", "/app/dist/src/main.js"]
CMD ["serve"]
