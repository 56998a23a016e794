/* The Paho C client (synchronous, with callbacks) behind the line protocol. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_S = 3600, TIMEOUT_MS = 20000, MAX_FIELDS = 6 };

static MQTTClient client;
static int version;

static void check(int code, const char *what)
{
    if (code != MQTTCLIENT_SUCCESS) {
        fprintf(stderr, "%s: %d\n", what, code);
        exit(1);
    }
}

static int on_message(void *context, char *topic, int length, MQTTClient_message *message)
{
    (void)context;
    (void)length;
    printf("message\t%s\t%.*s\t%d\t%d\n", topic, message->payloadlen, (char *)message->payload,
           message->qos, message->retained);
    fflush(stdout);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void on_lost(void *context, char *cause)
{
    (void)context;
    fprintf(stderr, "lost: %s\n", cause ? cause : "?");
}

static void do_connect(const char *id, int clean, const char *will_topic)
{
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
    char uri[300];
    int present = 0;

    snprintf(uri, sizeof uri, "ssl://%s:%s", getenv("PEER_HOST"), getenv("PEER_PORT"));
    create.MQTTVersion = version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    check(MQTTClient_createWithOptions(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create), "create");
    check(MQTTClient_setCallbacks(client, NULL, on_lost, on_message, NULL), "callbacks");
    if (version == 5)
        options = options5;
    tls.trustStore = getenv("PEER_CA");
    tls.verify = 1;
    options.ssl = &tls;
    options.username = getenv("PEER_USERNAME");
    options.password = getenv("PEER_PASSWORD");
    options.keepAliveInterval = 20;
    if (strcmp(will_topic, "-") != 0) {
        will.topicName = will_topic;
        will.message = "gone";
        will.qos = 1;
        options.will = &will;
    }
    if (version == 5) {
        options.cleanstart = clean;
        expiry.value.integer4 = clean ? 0 : KEPT_S;
        MQTTProperties_add(&properties, &expiry);
        MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
        check(response.reasonCode, "connect");
        present = -1; /* this library tells it for 3.1.1 only */
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
    } else {
        options.cleansession = clean;
        check(MQTTClient_connect(client, &options), "connect");
        present = options.returned.sessionPresent;
    }
    printf(present < 0 ? "connected\t?\n" : "connected\t%d\n", present);
}

static void do_subscribe(const char *topic, int qos)
{
    if (version == 5) {
        MQTTResponse response = MQTTClient_subscribe5(client, topic, qos, NULL, NULL);
        if (response.reasonCode > MQTTREASONCODE_GRANTED_QOS_2)
            check(response.reasonCode, "subscribe");
        MQTTResponse_free(response);
    } else {
        check(MQTTClient_subscribe(client, topic, qos), "subscribe");
    }
    printf("subscribed\n");
}

static void do_publish(const char *topic, const char *payload, int qos, int retain)
{
    MQTTClient_deliveryToken token = 0;

    if (version == 5) {
        MQTTResponse response = MQTTClient_publish5(client, topic, (int)strlen(payload), payload, qos, retain,
                                                    NULL, &token);
        check(response.reasonCode, "publish");
        MQTTResponse_free(response);
    } else {
        check(MQTTClient_publish(client, topic, (int)strlen(payload), payload, qos, retain, &token), "publish");
    }
    if (qos > 0)
        check(MQTTClient_waitForCompletion(client, token, TIMEOUT_MS), "wait");
    printf("published\n");
}

int main(void)
{
    char line[2000];

    while (fgets(line, sizeof line, stdin)) {
        char *field[MAX_FIELDS] = {0};
        int count = 0;
        for (char *part = strtok(line, "\t\n"); part && count < MAX_FIELDS; part = strtok(NULL, "\t\n"))
            field[count++] = part;
        if (count == 5 && strcmp(field[0], "connect") == 0) {
            version = atoi(field[1]);
            do_connect(field[2], atoi(field[3]), field[4]);
        } else if (count == 3 && strcmp(field[0], "subscribe") == 0) {
            do_subscribe(field[1], atoi(field[2]));
        } else if (count == 5 && strcmp(field[0], "publish") == 0) {
            do_publish(field[1], field[2], atoi(field[3]), atoi(field[4]));
        } else if (count == 1 && strcmp(field[0], "disconnect") == 0) {
            if (version == 5)
                check(MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL), "disconnect");
            else
                check(MQTTClient_disconnect(client, 1000), "disconnect");
            printf("disconnected\n");
        }
        fflush(stdout);
    }
    return 0;
}
