// A group member by kafkajs: joins, prints `partition offset value` of each record, leaves at SIGTERM.
const { Kafka, logLevel } = require("kafkajs");

const [bootstrap, groupId, topic, session] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "conformance", brokers: [bootstrap], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({
  groupId, sessionTimeout: Number(session), heartbeatInterval: 300, rebalanceTimeout: 10000, maxWaitTimeInMs: 200,
});

process.on("SIGTERM", async () => {
  await consumer.disconnect();
  process.exit(0);
});

(async () => {
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommitInterval: 200,
    eachMessage: async ({ partition, message }) => console.log(partition, message.offset, message.value.toString()),
  });
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
