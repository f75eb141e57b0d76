/* SPDX-License-Identifier: MIT
 *
 * The clock chip and its memory at ports 0x70 and 0x71 (MC146818): the host's time in UTC, BCD,
 * 24 hours; memory sizes where firmware leaves them. The time cannot be set and there are no
 * alarms: writes to those registers are kept as plain memory or dropped.
 */
#include "vmm/vmm.h"

#include <time.h>

#define REG_A 0x0a
#define REG_B 0x0b
#define REG_C 0x0c
#define REG_D 0x0d
#define REG_CENTURY 0x32

struct rtc {
    struct device dev;
    uint8_t index; /* under dev.lock, as the cells */
    uint8_t cells[128];
};

static uint8_t rtc_bcd(int n)
{
    return (n / 10) << 4 | n % 10;
}

static uint8_t rtc_get_locked(const struct rtc *r)
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    switch (r->index) {
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
        return r->cells[r->index];
    }
}

static uint64_t rtc_read(struct device *d, unsigned resource, uint64_t offset, unsigned len)
{
    uint8_t value;

    pthread_mutex_lock(&d->lock);
    value = offset ? rtc_get_locked(container_of(d, struct rtc, dev)) : 0xff;
    pthread_mutex_unlock(&d->lock);
    return value;
}

static void rtc_write(struct device *d, unsigned resource, uint64_t offset, uint64_t value,
                      unsigned len)
{
    struct rtc *r = container_of(d, struct rtc, dev);

    pthread_mutex_lock(&d->lock);
    if (offset == 0)
        r->index = value & 0x7f;
    else
        r->cells[r->index] = value;
    pthread_mutex_unlock(&d->lock);
}

static const struct device_ops rtc_ops = {.read = rtc_read, .write = rtc_write};

/* Where firmware leaves the sizes of memory: in KiB, above 1 MiB in KiB, above 16 MiB in 64 KiB. */
static void rtc_memory(uint8_t *cells, uint64_t low)
{
    uint64_t extended = (low - MIB) / KIB;

    cells[0x15] = 640 & 0xff;
    cells[0x16] = 640 >> 8;
    if (extended > 0xffff)
        extended = 0xffff;
    cells[0x17] = cells[0x30] = extended & 0xff;
    cells[0x18] = cells[0x31] = extended >> 8;
    if (low > 16 * MIB) {
        uint64_t above = (low - 16 * MIB) / (64 * KIB);

        cells[0x34] = above & 0xff;
        cells[0x35] = above >> 8;
    }
}

void rtc_create(struct vm *vm)
{
    struct rtc *r = vm_alloc(vm, sizeof *r);

    rtc_memory(r->cells, vm->memory_size < LOW_RAM_MAX ? vm->memory_size : LOW_RAM_MAX);
    device_init(&r->dev, vm, "the clock", &rtc_ops);
    device_claim(&r->dev, &(struct resource){BUS_PORT, RTC_PORT, 2, 0});
}
