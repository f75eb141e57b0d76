/* SPDX-License-Identifier: MIT
 *
 * The clock chip and its memory at ports 0x70 and 0x71 (MC146818): the host's time in UTC, BCD,
 * 24 hours; memory sizes where firmware leaves them. The time cannot be set and there are no
 * alarms: writes to those registers are kept as plain memory or dropped.
 */
#include "vmm/vmm.h"

#include <pthread.h>
#include <time.h>

#define REG_A 0x0a
#define REG_B 0x0b
#define REG_C 0x0c
#define REG_D 0x0d
#define REG_CENTURY 0x32

static struct {
    pthread_mutex_t lock;
    uint8_t index;
    uint8_t cells[128];
} rtc = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint8_t rtc_bcd(int n)
{
    return (n / 10) << 4 | n % 10;
}

static uint8_t rtc_get_locked(void)
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    switch (rtc.index) {
    case 0x00:
        return rtc_bcd(tm.tm_sec);
    case 0x02:
        return rtc_bcd(tm.tm_min);
    case 0x04:
        return rtc_bcd(tm.tm_hour);
    case 0x06:
        return rtc_bcd(tm.tm_wday + 1);
    case 0x07:
        return rtc_bcd(tm.tm_mday);
    case 0x08:
        return rtc_bcd(tm.tm_mon + 1);
    case 0x09:
        return rtc_bcd(tm.tm_year % 100);
    case REG_CENTURY:
        return rtc_bcd((tm.tm_year + 1900) / 100);
    case REG_A:
        return 0x26; /* 32768 Hz, never in an update */
    case REG_B:
        return 0x02; /* 24 hours, BCD */
    case REG_C:
        return 0x00;
    case REG_D:
        return 0x80; /* the battery is good */
    default:
        return rtc.cells[rtc.index];
    }
}

static uint64_t rtc_read(void *dev, uint64_t offset, unsigned len)
{
    pthread_mutex_lock(&rtc.lock);
    uint8_t value = offset ? rtc_get_locked() : 0xff;
    pthread_mutex_unlock(&rtc.lock);
    return value;
}

static void rtc_write(void *dev, uint64_t offset, uint64_t value, unsigned len)
{
    pthread_mutex_lock(&rtc.lock);
    if (offset == 0)
        rtc.index = value & 0x7f;
    else
        rtc.cells[rtc.index] = value;
    pthread_mutex_unlock(&rtc.lock);
}

static const struct bus_ops rtc_ops = {.read = rtc_read, .write = rtc_write};

void rtc_create(uint64_t memory)
{
    uint64_t low = memory < LOW_RAM_MAX ? memory : LOW_RAM_MAX;
    uint64_t extended = (low - MIB) / KIB;
    rtc.cells[0x15] = 640 & 0xff;
    rtc.cells[0x16] = 640 >> 8;
    if (extended > 0xffff)
        extended = 0xffff;
    rtc.cells[0x17] = rtc.cells[0x30] = extended & 0xff;
    rtc.cells[0x18] = rtc.cells[0x31] = extended >> 8;
    if (low > 16 * MIB) {
        uint64_t above = (low - 16 * MIB) / (64 * KIB);
        rtc.cells[0x34] = above & 0xff;
        rtc.cells[0x35] = above >> 8;
    }
    bus_add(BUS_PORT, RTC_PORT, 2, &rtc_ops, NULL);
}
